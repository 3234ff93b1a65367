"""Images made, edited and varied: `/v1/images/generations`, `/v1/images/edits`, `/v1/images/variations`."""
