"""The page in the browser: what serves, which versions there are, and a form to try the model."""
