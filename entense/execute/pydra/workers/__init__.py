"""Where tasks run: processes of this machine, Dask, SLURM, or any worker of Pydra's."""
