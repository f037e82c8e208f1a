#!/bin/sh
# Print what Snakemake asks of a Grid Engine job: running, success or failed. A job that has left the queue takes a
# moment to reach the accounts, and until then it counts as running; after ten minutes, as where there are no accounts
# (qacct), it counts as failed. A queue that does not answer says nothing of a job, which may live: it counts as running.
left=.snakemake/sge/$1.left   # as old as the first time that the job was in neither
if said=$(qstat -j "$1" 2>&1); then
    rm -f "$left"
    echo running
    exit 0
fi
case "$said" in *"do not exist"*) ;; *) echo running; exit 0 ;; esac
if ! said=$(qacct -j "$1" 2>/dev/null); then
    mkdir -p .snakemake/sge
    [ -e "$left" ] || : >"$left"
    [ -n "$(find "$left" -mmin +10)" ] || { echo running; exit 0; }
    echo "job $1 is neither in the queue nor in the accounts (qacct): how it ended cannot be known" >&2
    echo failed
    exit 0
fi
rm -f "$left"
code=$(printf '%s\n' "$said" | sed -n 's/^exit_status *\([0-9]*\).*/\1/p' | tail -n 1)
bad=$(printf '%s\n' "$said" | sed -n 's/^failed *\([0-9]*\).*/\1/p' | tail -n 1)
[ "$code" = 0 ] && [ "$bad" = 0 ] && echo success || echo failed
