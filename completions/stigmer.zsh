#compdef stigmer

_stigmer_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _STIGMER_COMPLETE=complete_zsh stigmer)
}

compdef _stigmer_completion stigmer
