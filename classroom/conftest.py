"""Configurations are no modules."""

collect_ignore = ["jupyterhub_config.py"]
