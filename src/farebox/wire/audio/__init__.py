"""Speech made and speech written down: `/v1/audio/speech`, `/v1/audio/transcriptions`, `/v1/audio/translations`."""
