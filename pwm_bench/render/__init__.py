"""Pictures of what policies do: play one, draw it, write a video, a GIF or a contact sheet."""
