"""The Anthropic Messages dialect: as it came to its own providers, and translated to and from the others."""
