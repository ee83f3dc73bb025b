"""The API, a module a topic; put together in `blueprint`."""
