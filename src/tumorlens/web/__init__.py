"""The page: read a scan in the browser. `create_app` makes the application that `tumorlens serve` runs."""
