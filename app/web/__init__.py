"""What the browser and other programs see: pages in rooms as the menu has them, and the API. See `blueprints`."""
