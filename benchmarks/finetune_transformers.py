# Copyright 2026 The project authors. SPDX-License-Identifier: Apache-2.0
"""Fine-tunes a sentence-pair classifier with transformers, for comparison.

In: train.tsv and dev.tsv with MRPC's columns, and a Hugging Face folder. Out:
eval_results.json. Needs torch, transformers and accelerate.
"""

import argparse
import json
import pathlib

import numpy as np
import torch
import transformers


def parse_arguments():
  parser = argparse.ArgumentParser()
  for name in ("data_dir", "model", "output_dir", "precision"):
    parser.add_argument(f"--{name}", required=True)
  for name in ("seed", "epochs", "batch", "length", "max_train_examples"):
    parser.add_argument(f"--{name}", type=int, required=True)
  parser.add_argument("--rate", type=float, required=True)
  return parser.parse_args()


def read(path, tokenizer, length, most=None):
  """Reads examples from a TSV file: label in column 0, texts in 3 and 4."""
  lines = pathlib.Path(path).read_text(encoding="utf-8").split("\n")[1:]
  rows = [line.rstrip("\r").split("\t") for line in lines if line.strip()]
  rows = rows[:most]
  encoded = tokenizer(
    [row[3] for row in rows],
    [row[4] for row in rows],
    truncation=True,
    max_length=length,
  )
  return [
    {
      **{name: values[i] for name, values in encoded.items()},
      "labels": int(row[0]),
    }
    for i, row in enumerate(rows)
  ]


def main():
  options = parse_arguments()
  tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
  model = transformers.AutoModelForSequenceClassification.from_pretrained(
    options.model, num_labels=2
  )
  folder = pathlib.Path(options.data_dir)
  most = options.max_train_examples or None
  train = read(folder / "train.tsv", tokenizer, options.length, most)
  dev = read(folder / "dev.tsv", tokenizer, options.length)
  trainer = transformers.Trainer(
    model=model,
    args=transformers.TrainingArguments(
      output_dir=options.output_dir,
      per_device_train_batch_size=options.batch,
      per_device_eval_batch_size=8,
      num_train_epochs=options.epochs,
      learning_rate=options.rate,
      warmup_ratio=0.1,
      weight_decay=0.01,
      group_by_length=True,
      bf16=options.precision == "bfloat16",
      bf16_full_eval=options.precision == "bfloat16",
      use_cpu=not torch.cuda.is_available(),
      seed=options.seed,
      report_to=[],
      save_strategy="no",
      logging_strategy="no",
      disable_tqdm=True,
    ),
    train_dataset=train,
    data_collator=transformers.DataCollatorWithPadding(tokenizer),
  )
  trainer.train()
  predicted = trainer.predict(dev)
  accuracy = np.mean(
    np.argmax(predicted.predictions, axis=-1) == predicted.label_ids
  )
  pathlib.Path(options.output_dir, "eval_results.json").write_text(
    json.dumps({"eval_accuracy": float(accuracy)})
  )


if __name__ == "__main__":
  main()
