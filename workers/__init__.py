"""What acts: the LLM worker, the controller, the provider for tests, the command line. Imports ``bus``; ``bus`` never imports it."""
