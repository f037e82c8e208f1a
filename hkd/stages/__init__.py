"""One file for each stage of the workflow: paths in, one library call, a record out."""
