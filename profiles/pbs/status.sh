#!/bin/sh
# Print what Snakemake asks of a PBS job: running, success or failed. Finished jobs are known for as long as PBS keeps
# their history (job_history_enable); of one that nobody knows, nothing can be said, so it counts as failed.
said=$(qstat -x -f "$1" 2>/dev/null) || { echo failed; exit 0; }
state=$(printf '%s\n' "$said" | sed -n 's/^ *job_state = //p')
code=$(printf '%s\n' "$said" | sed -n 's/^ *Exit_status = //p')
case "$state" in
F | X) [ "$code" = 0 ] && echo success || echo failed ;;
*) echo running ;;
esac
