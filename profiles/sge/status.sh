#!/bin/sh
# Print what Snakemake asks of a Grid Engine job: running, success or failed. A job that has left the queue takes a
# moment to reach the accounts, and until then it counts as running.
if qstat -j "$1" >/dev/null 2>&1; then
    echo running
    exit 0
fi
said=$(qacct -j "$1" 2>/dev/null) || { echo running; exit 0; }
code=$(printf '%s\n' "$said" | sed -n 's/^exit_status *\([0-9]*\).*/\1/p' | tail -n 1)
bad=$(printf '%s\n' "$said" | sed -n 's/^failed *\([0-9]*\).*/\1/p' | tail -n 1)
[ "$code" = 0 ] && [ "$bad" = 0 ] && echo success || echo failed
