"""The commands, one module each; which exist, and where, is said in `avalan.cli.COMMANDS`.

A module of one command has `configure(parser)`, which adds its options and ends with
`parser.set_defaults(run=run)`, where `run(args, console) -> int` returns the exit code. A noun
with verbs either has a table `COMMANDS` of its own (verb → help, module) or calls
`parser.add_subparsers` in `configure`. Importing one must be cheap: it happens for `--help`.
"""
