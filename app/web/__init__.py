"""The pages, grouped as in the menu, and the API. See `blueprints`."""
