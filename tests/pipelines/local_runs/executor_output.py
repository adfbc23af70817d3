"""What a task prints in KFP's executor: the executor's own lines, and a component's among them."""

EXECUTOR_OUTPUT = """\
[KFP Executor 2026-11-24 01:37:11,784 INFO]: Looking for component `x` in --component_module_path
[KFP Executor 2026-11-24 01:37:11,785 INFO]: Loading KFP component "x" from /tmp/x.py
[KFP Executor 2026-11-24 01:37:11,785 INFO]: Got executor_input:
{
    "inputs": {
        "parameterValues": {}
    }
}
[KFP Executor 2026-11-24 01:37:12,000 INFO]: step 10/60 | loss 4.1222

a plain line with [brackets]
[KFP Executor 2026-11-24 01:37:12,001 WARNING]: few examples
Warning: the cache is damaged
[KFP Executor 2026-11-24 01:37:13,000 INFO]: Wrote executor output file to /tmp/y.
"""
