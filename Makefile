# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
# `make` or `make help` lists the targets. They run in .venv, which is made with
# the first of PYTHONS that runs, has a supported version and has venv.

PYTHONS = python3.11 python3.10 python3.9 python3
PYTHON = .venv/bin/python
# A stamp: touched when .venv has everything in the requirements.
INSTALLED = .venv/.installed
# Makes .venv again if its Python no longer runs.
$(shell $(PYTHON) -c '' 2>/dev/null || rm -f $(INSTALLED))

# Runs in each Python, because a name on the path may be a shim without one.
FITS = import ensurepip, sys, venv; \
  sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 11))

# The quick start has four steps: a vocabulary, records, pre-training, and a
# classifier that starts from the pre-trained weights. The first three read
# sample_text.txt and the classifier's training texts, without their labels.
QUICKSTART_DIR = quickstart_output
QUICKSTART_REMARKS = $(QUICKSTART_DIR)/remarks.txt
QUICKSTART_TEXT = sample_text.txt,$(QUICKSTART_REMARKS)
QUICKSTART_VOCAB = \
  --input_file=$(QUICKSTART_TEXT) \
  --output_file=$(QUICKSTART_DIR)/vocab.txt \
  --vocab_size=1000
QUICKSTART_SIZES = --max_seq_length=48 --max_predictions_per_seq=8
QUICKSTART_RECORDS = \
  --input_file=$(QUICKSTART_TEXT) \
  --output_file=$(QUICKSTART_DIR)/records.tfrecord \
  --vocab_file=$(QUICKSTART_DIR)/vocab.txt \
  $(QUICKSTART_SIZES)
QUICKSTART_PRETRAINING = \
  --input_file=$(QUICKSTART_DIR)/records.tfrecord \
  --vocab_file=$(QUICKSTART_DIR)/vocab.txt \
  --bert_config_file=sample_data/pretraining_config.json \
  --output_dir=$(QUICKSTART_DIR)/pretrained \
  --do_train --do_eval \
  --mask_dynamically \
  $(QUICKSTART_SIZES) \
  --learning_rate=1e-3 \
  --num_train_steps=6000 --num_warmup_steps=300 --log_steps=200
QUICKSTART_FLAGS = \
  --task_name=custom \
  --data_dir=sample_data \
  --text_a_column=text \
  --label_column=label \
  --id_column=id \
  --vocab_file=$(QUICKSTART_DIR)/vocab.txt \
  --bert_config_file=sample_data/pretraining_config.json \
  --init_checkpoint=$(QUICKSTART_DIR)/pretrained \
  --output_dir=$(QUICKSTART_DIR)/classifier \
  --do_train --do_eval --do_predict --report \
  --max_seq_length=48 \
  --train_batch_size=16 \
  --learning_rate=2e-4 \
  --num_train_epochs=16

# Runs tests on all cores, at most four processes, because each loads TensorFlow.
# Tests that share what they build, and have a group for it, run in one process.
PYTEST_FLAGS = --numprocesses=auto --maxprocesses=4 --dist=loadgroup

# For meaningful numbers, run make bench BENCH_TEXT=... BENCH_VOCAB=... with a
# text of a few megabytes, one sentence a line, and its vocabulary. Add
# BENCH_FLAGS="--data_dir=MRPC --model_dir=CHECKPOINT" to time fine-tuning too,
# and --transformers_python=PYTHON to compare with transformers on PyTorch.
BENCH_TEXT = sample_data/train.tsv
BENCH_VOCAB = sample_data/vocab.txt
BENCH_FLAGS =

# A part of the campaign, chosen evenly: make faults FAULTS_FLAGS=--minutes=5.
# Other flags are in faults/campaign.py.
FAULTS_FLAGS =

.PHONY: help quickstart test lint bench faults clean

help:
	@echo "make quickstart  train a classifier on the sample data, from scratch"
	@echo "make test        run the tests"
	@echo "make lint        check style and formatting"
	@echo "make bench       measure speed (BENCH_TEXT=file BENCH_VOCAB=file)"
	@echo "make faults      kill scripts, damage their files, fill disks: 34 minutes"
	@echo "make clean       remove .venv and everything else that make created"

quickstart: $(INSTALLED)
	@rm -rf $(QUICKSTART_DIR)
	@mkdir $(QUICKSTART_DIR)
	@# The header becomes a blank line, which separates two documents.
	cut -f 2 sample_data/train.tsv | sed '1s/.*//' > $(QUICKSTART_REMARKS)
	$(PYTHON) create_vocab.py $(QUICKSTART_VOCAB)
	$(PYTHON) create_pretraining_data.py $(QUICKSTART_RECORDS)
	$(PYTHON) run_pretraining.py $(QUICKSTART_PRETRAINING)
	$(PYTHON) run_classifier.py $(QUICKSTART_FLAGS)
	@for folder in pretrained classifier; do \
	  printf '\n%s/eval_results.txt\n' $(QUICKSTART_DIR)/$$folder; \
	  sed 's/^/  /' $(QUICKSTART_DIR)/$$folder/eval_results.txt; \
	done
	@printf '\n%s/classifier/predictions.tsv, beside its texts\n' \
	  $(QUICKSTART_DIR)
	@cut -f 2 sample_data/test.tsv \
	  | paste $(QUICKSTART_DIR)/classifier/predictions.tsv - \
	  | head -n 9 | sed 's/^/  /' | expand -t 12
	@printf '\nCurves, scores and errors in pictures: %s\n' \
	  $(QUICKSTART_DIR)/classifier/report.html

test: $(INSTALLED)
	@$(PYTHON) -m pytest $(PYTEST_FLAGS)

lint: $(INSTALLED)
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

bench: $(INSTALLED)
	$(PYTHON) benchmarks/run_all.py \
	  --vocab_file=$(BENCH_VOCAB) --text_file=$(BENCH_TEXT) $(BENCH_FLAGS)

faults: $(INSTALLED)
	@$(PYTHON) -m faults.campaign $(FAULTS_FLAGS)

clean:
	rm -rf .venv $(QUICKSTART_DIR) bench_output .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Without the stamp, .venv may be incomplete, so this makes it again; with an
# old stamp, it only updates the packages.
$(INSTALLED): requirements.txt requirements-dev.txt requirements-faiss.txt \
    requirements-onnx.txt requirements-serve.txt
	@test -f $@ || { \
	  for python in $(PYTHONS); do \
	    if $$python -c '$(FITS)' >/dev/null 2>&1; then \
	      echo "Making .venv with $$($$python --version); a few minutes."; \
	      exec $$python -m venv --clear .venv; \
	    fi; \
	  done; \
	  echo "error: none of $(PYTHONS) is a Python 3.9, 3.10 or 3.11 that has" \
	    "the venv module (on Debian: the package python3-venv)." >&2; \
	  exit 1; \
	}
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check \
	  --requirement requirements-dev.txt
	@touch $@
