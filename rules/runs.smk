# What the benchmark asks for, and the one lookup that rules use. The logic is in hkd.plan and hkd.workflow.
import hkd.launch
import hkd.workflow

PLAN = hkd.workflow.plan(config, workflow.overwrite_configfiles)
WORK = hkd.workflow.Rules(PLAN)

# `hkd` in shell commands is the one beside this interpreter, and sees the merged benchmark
shell.prefix(hkd.workflow.prefix(PLAN))
hkd.workflow.clear_stale_lock(main=workflow.is_main_process)
hkd.launch.announce(workflow, PLAN)


wildcard_constraints:
    dataset=r"[a-z0-9-]+",
    group="|".join(WORK.groups),
    method=r"[a-z0-9_]+",
    seed=r"\d+",
    nfe=r"\d+",
    shard=r"\d+",
    split=r"train|reference",
    role=r"metric|perceptual",
    trajectories=r"[a-z0-9_-]+",
    table=r"table[1-4]",
