# What the benchmark asks for, and the one lookup that rules use. The logic is in hkd.plan and hkd.workflow.
import hkd.launch
import hkd.workflow

RULES = workflow.current_basedir.get_path_or_uri(secret_free=True)
# of a module, its own: names and paths as another workflow has them
MODIFIER = workflow.modifier
MODULE = MODIFIER.skip_configfile
PREFIXED = MODIFIER.path_modifier.replace_prefix

PLAN = hkd.workflow.plan(
    config, workflow.overwrite_configfiles, hkd.workflow.configs(RULES), module=MODULE
)
# only an executor that submits must be told how many jobs may be in its queue
SUBMITS = workflow.resource_settings.nodes is not None
ENVIRONMENT = hkd.workflow.environment(
    PLAN, PREFIXED, remote=workflow.remote_exec, submits=SUBMITS
)
WORK = hkd.workflow.Rules(PLAN, ENVIRONMENT, PREFIXED)

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
    table=r"table[1-4](_[a-z0-9]+)?",
