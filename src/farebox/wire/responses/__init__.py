"""The OpenAI Responses dialect: `POST /v1/responses`, and everything in its shapes."""
