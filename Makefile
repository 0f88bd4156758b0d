# Every target first installs what it needs into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
DATA_DIR ?= data
ARCH ?= lenet
RUN ?= runs/mnist/$(ARCH)
# The shipped name is the LeNet's; another network must not become its default version.
NAME ?= $(if $(filter lenet,$(ARCH)),mnist,mnist-$(ARCH))
CORPUS ?= shakespeare
CELL ?= lstm
WIDTH ?= 512
TEXT ?= $(basename $(notdir $(CORPUS)))-$(CELL)$(WIDTH)
# As for MNIST: only the network that is shipped takes the shipped name.
TEXT_NAME ?= $(if $(filter lstm512,$(CELL)$(WIDTH)),$(basename $(notdir $(CORPUS))),$(TEXT))
# A run keeps the name of its text's file, not where it lies.
TEXT_DIR = $(if $(filter /%,$(CORPUS)),$(dir $(CORPUS)),$(DATA_DIR))

.PHONY: help serve test deploy-tools lint format proto train-mnist train-text train-captions train-images clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Stamps: the base install serves, MP4 too, and has no torch; the full one trains, tests and checks.
$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[video]'
	@touch $@

$(VENV)/.full: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[train,dev,video]'
	@touch $@ $(VENV)/.base

# Both builds install the same Python package, so the CPU one has to go before the CUDA one comes.
$(VENV)/.gpu: $(VENV)/.base
	$(BIN)/python -m pip uninstall --quiet --yes onnxruntime onnxruntime-gpu
	$(PIP) 'onnxruntime-gpu[cuda,cudnn]' nvidia-ml-py
	@touch $@

serve: $(VENV)/$(if $(GPU),.gpu,.base) ## serve model_repo/ on HTTP 8000, gRPC 8001, metrics 8002 (ARGS='--flag ...', GPU=1)
	$(BIN)/quartet serve $(ARGS)

test: $(VENV)/.full ## run all tests (ARGS='tests/unit -k ...')
	$(BIN)/python -m pytest $(ARGS)

deploy-tools: $(VENV)/.full ## what the tests of deploy/ use beside (root on Debian: apt packages too)
	scripts/install_deploy_tools.sh

lint: $(VENV)/.full ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.full ## format and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(VENV)/.full ## generate serving/pb from protos/
	$(BIN)/python -m scripts.generate_protos

train-mnist: $(VENV)/.full ## train, evaluate and export MNIST (ARCH=lenet DATA_DIR=data)
	$(BIN)/quartet train mnist --model.arch $(ARCH) --run.name $(ARCH) --data-dir $(DATA_DIR)
	$(BIN)/quartet evaluate $(RUN) --data-dir $(DATA_DIR)
	$(BIN)/quartet export $(RUN) --name $(NAME) --data-dir $(DATA_DIR)

train-text: $(VENV)/.full ## train, evaluate and export a language model (CORPUS=shakespeare|obama|FILE CELL=lstm WIDTH=512)
	$(BIN)/quartet train text --corpus $(CORPUS) --model.cell $(CELL) --model.width $(WIDTH) \
		--run.name $(TEXT) --data-dir $(DATA_DIR)
	$(BIN)/quartet evaluate runs/text/$(TEXT) --data-dir $(TEXT_DIR)
	$(BIN)/quartet export runs/text/$(TEXT) --name $(TEXT_NAME) --data-dir $(TEXT_DIR)

train-captions: $(VENV)/.full ## train the captioner's encoder and decoder, evaluate and export it
	$(BIN)/quartet train encoder --run.name classes --data-dir $(DATA_DIR)
	$(BIN)/quartet train words --run.name flickr8k --data-dir $(DATA_DIR)
	$(BIN)/quartet train caption --run.name attention --data-dir $(DATA_DIR)
	$(BIN)/quartet train caption --fine-tune --run.name tuned --data-dir $(DATA_DIR)
	$(BIN)/quartet evaluate runs/caption/tuned --data-dir $(DATA_DIR)
	$(BIN)/quartet export runs/caption/tuned --name captioner --data-dir $(DATA_DIR)

# name of the run, options, name of the model; those told nothing but noise have directions.
define GENERATOR
	$(BIN)/quartet train dcgan $(2) --run.name $(1) --data-dir $(DATA_DIR)
	$(BIN)/quartet evaluate runs/dcgan/$(1) --split validation --data-dir $(DATA_DIR)
	$(BIN)/quartet evaluate runs/dcgan/$(1) --data-dir $(DATA_DIR)
	$(if $(findstring condition,$(2)),,$(BIN)/python -m training.dcgan.directions runs/dcgan/$(1) --data-dir $(DATA_DIR))
	$(BIN)/quartet export runs/dcgan/$(1) --name $(3) --data-dir $(DATA_DIR)
endef

train-images: $(VENV)/.full ## train, evaluate and export the scorer of faces and all generators of pictures
	$(BIN)/quartet train faces --run.name attributes --data-dir $(DATA_DIR)
	$(BIN)/quartet evaluate runs/faces/attributes --data-dir $(DATA_DIR)
	$(BIN)/quartet export runs/faces/attributes --name face-attributes --data-dir $(DATA_DIR)
	$(call GENERATOR,faces,,dcgan-faces)
	$(call GENERATOR,digits,--dataset mnist,dcgan-mnist)
	$(call GENERATOR,digits-class,--dataset mnist --model.condition class --run.epochs 5,dcgan-mnist-class)
	$(call GENERATOR,digits-prompt,--dataset mnist --model.condition prompt --run.epochs 8,dcgan-mnist-prompt)

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
