"""What acts: the LLM worker, the controller, the provider for tests, the command line. ``bus`` never imports it."""
