"""A model that answers over HTTP, for whoever puts it behind a form or calls it from another program."""
