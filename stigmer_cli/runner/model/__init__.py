"""Who answers for an agent: the seam, and the models behind it."""
