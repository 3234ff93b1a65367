"""Google's Gemini API: `generateContent`, its stream, its embeddings."""
