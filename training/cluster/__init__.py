"""Where the parts of a job are computed: in this process, or by Ray on a cluster."""
