#!/bin/sh
# Print what Snakemake asks of a PBS job: running, success or failed. Finished jobs are known for as long as PBS keeps
# their history (job_history_enable); one that PBS says it does not know counts as failed. A server that does not answer
# says nothing of a job, which may live: it counts as running, for a second one would do its work beside it.
tries=3
until said=$(qstat -x -f "$1" 2>&1); do
    case "$said" in *[Uu]nknown\ [Jj]ob*) echo failed; exit 0 ;; esac
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || { echo running; exit 0; }
    sleep 2
done
state=$(printf '%s\n' "$said" | sed -n 's/^ *job_state = //p')
code=$(printf '%s\n' "$said" | sed -n 's/^ *Exit_status = //p')
case "$state" in
F | X) [ "$code" = 0 ] && echo success || echo failed ;;
*) echo running ;;
esac
