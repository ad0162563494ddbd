"""TLS on both links, as its files, their validity, and the sentence for what is wrong with a handshake."""
