"""Amazon SQS on the event loop."""
