"""`stigmer drill`: hurts a stack on purpose, and certifies that nothing is lost or done twice."""
