"""Charts, pictures and the page that shows a run."""
