"""The API, one module per topic; assembled in `blueprint`."""
