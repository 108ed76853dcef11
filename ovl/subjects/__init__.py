"""What is judged: S models, or S edited copies of them, at one setting."""

from ovl.subjects.subject import Subject as Subject
