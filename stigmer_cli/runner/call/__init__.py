"""The functions of the DSL that call services; a workflow's task `call` names one."""
