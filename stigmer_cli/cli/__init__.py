"""What a person types: each module parses, makes one call and renders what comes back."""
