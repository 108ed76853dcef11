#!/usr/bin/env bash
# One sweep, or one job, on all workers of a Cloud TPU slice, v4 to v6e. From the checkout:
#
#   export TPU=my-v5e-16 ZONE=us-west4-a
#   SETUP=1 launch/tpu_pod.sh      installs HEAD with its extra `tpu` on every worker
#   launch/tpu_pod.sh --verb=unlearn --config=colour --out=/mnt/runs/colour -- --config.seeds=16
#   STOP=1 launch/tpu_pod.sh       asks the run to save and to end
#   DRY_RUN=1 launch/tpu_pod.sh ...    prints the commands and does nothing
#
# --out lies in a folder that all workers see. The same command goes on where it stopped.
set -euo pipefail
: "${TPU:?name of the slice}" "${ZONE:?its zone}"

do_or_say() {
  if [[ -n ${DRY_RUN:-} ]]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}
everywhere() {
  do_or_say gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="$1"
}

if [[ -n ${SETUP:-} ]]; then
  do_or_say git archive --format=tar.gz --output=ovl.tar.gz HEAD
  do_or_say gcloud compute tpus tpu-vm scp ovl.tar.gz "$TPU:" --zone="$ZONE" --worker=all
  everywhere "mkdir -p ovl && tar xzf ovl.tar.gz -C ovl && pip install -q uv &&\
 python3 -m uv venv -q --clear --python=3.12 ovl/.venv &&\
 python3 -m uv pip install -q --python=ovl/.venv './ovl[tpu]'"
  exit
fi
if [[ -n ${STOP:-} ]]; then
  everywhere "pkill -TERM -f '^.venv/bin/python launch/sweep.py'" # not the shells around it
  exit
fi
[[ " $* " == *" -- "* ]] || set -- "$@" --
everywhere "cd ovl && .venv/bin/python launch/sweep.py$(printf ' %q' "$@" --distributed=auto)"
