"""The model card: what a run knows of itself (`facts`), as a page for people and a head for machines (`page`), kept in step (`folder`)."""
