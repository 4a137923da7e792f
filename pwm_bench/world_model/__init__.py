"""The world model: networks, loss and training. Import each from its own module."""
