"""OpenAI chat completions as one of the chat dialects that can be put into one another."""
