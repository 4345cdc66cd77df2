"""Trains the reranker: LoRA on all-MiniLM-L6-v2 that reads a question and a sentence together and says how well the
sentence answers. Writes an adapter in PEFT's layout, with the head in `modules_to_save`'s place.

    trainer data --rows 16000 --seed 7 --refusals 0.16 --language-share 0.03 --evidence rows.jsonl
    server calibrate --data rows.jsonl --rounds 22 --found found.jsonl --output /dev/null
    reranker_train.py rows.jsonl --found found.jsonl --held-out airline,bank --squad xquad.en.json \\
        --articles documents.jsonl --model all-MiniLM-L6-v2 --output apps/assets/reranker

`found.jsonl`: questions of the businesses that are not learned from, with the sentences that a server read for them
and which of those answer. `--squad`: questions of people about Wikipedia (SQuAD's form); `--articles`: articles with
headings, whose questions are answered under them.
A candidate's score is s; that of no answer is 0. The loss is -ln of the share of exp(s) that answers.

Afterwards, on rows of the businesses that were held out:

    server calibrate --data held_out_rows.jsonl --rounds 8 --reranker apps/assets/reranker

Needs torch, transformers and safetensors; the shipped adapter had 31 minutes on two cores.
"""
import argparse
import json
import math
import os
import random
import re
import time

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModel, AutoTokenizer

TARGETS = ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense")


class Lora(nn.Module):
    def __init__(self, base, rank, alpha):
        super().__init__()
        self.base, self.scale = base, alpha / rank
        self.a = nn.Parameter(torch.randn(rank, base.in_features) / math.sqrt(base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + nn.functional.linear(nn.functional.linear(x, self.a), self.b) * self.scale


class Reader(nn.Module):
    def __init__(self, folder, rank, alpha):
        super().__init__()
        self.bert = AutoModel.from_pretrained(folder, add_pooling_layer=False)
        self.bert.requires_grad_(False)
        for name, module in list(self.bert.named_modules()):
            if isinstance(module, nn.Linear) and name.endswith(TARGETS):
                parent, child = name.rsplit(".", 1)
                setattr(self.bert.get_submodule(parent), child, Lora(module, rank, alpha))
        self.head = nn.Linear(self.bert.config.hidden_size, 1)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch):
        states = self.bert(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).float()
        mean = (states * mask).sum(1) / mask.sum(1)
        return self.head(mean).squeeze(-1)


def sentences(text):
    parts = re.split(r"(?<=[.!?])\s+(?=[\"'(A-Z0-9])|\n+", text)
    return [part.strip(" -*\t|") for part in parts if len(part.strip(" -*\t|#")) > 3]


def stems(text):
    return {word[:5] for word in re.findall(r"\w+", text.lower()) if len(word) > 2}


def rows(path, held):
    """Questions of `trainer data`, with the sentences of their passages as a server reads them."""
    groups = []
    for line in open(path):
        row = json.loads(line)
        if row["kind"].startswith("talk") or row["kind"] == "injection" or row.get("business") in held:
            continue
        before = [said["content"] for said in row.get("history", []) if said["role"] == "user"][-1:]
        texts, places, numbers = [], [], {}
        for number, passage in enumerate(row["passages"]):
            tables = {t["sentence"]: t for t in passage.get("rows", [])}
            at = 0
            for index, sentence in enumerate(passage["sentences"]):
                written = sentence
                if table := tables.get(index):
                    written = table["row"]
                    cells = [cell.strip() for cell in written.strip(" |").split("|")]
                    pairs = "; ".join(f"{h}: {c}" for h, c in list(zip(table["header"], cells))[1:])
                    sentence = f"{cells[0]}: {pairs}"
                found = passage["text"].find(written, at)
                at = max(at, found)
                heads = re.findall(r"^#+ (.*)$", passage["text"][:max(found, 0)], re.M)
                path_ = [passage["title"], *filter(None, [passage["heading"], *heads[-1:]])]
                numbers[number, index] = len(texts)
                texts.append(" › ".join(path_) + "\n" + sentence)
                places.append(number)
        evidence = [numbers[tuple(place)] for place in row["evidence"] if tuple(place) in numbers]
        question = "\n".join([*before, row["question"]])
        asked, own = stems(question), {places[i] for i in evidence}
        likely = [len(asked & stems(text)) + 2 * (places[i] in own) for i, text in enumerate(texts)]
        groups.append({"question": question, "candidates": texts, "evidence": evidence, "probabilities": likely})
    return groups


def squad(path, draw):
    """Questions about paragraphs: the answer's sentence among those of its paragraph and of two others."""
    groups = []
    for article in json.load(open(path))["data"]:
        title = article["title"].replace("_", " ")
        paragraphs = [p["context"] for p in article["paragraphs"]]
        for paragraph in article["paragraphs"]:
            own, spans, at = paragraph["context"], [], 0
            for sentence in sentences(own):
                at = own.index(sentence, at)
                spans.append((at, at + len(sentence), sentence))
                at += len(sentence)
            others = [s for p in draw.sample(paragraphs, min(3, len(paragraphs))) if p != own for s in sentences(p)]
            for question in paragraph["qas"]:
                start = question["answers"][0]["answer_start"]
                texts = [f"{title}\n{s}" for _, _, s in spans] + [f"{title}\n{s}" for s in others]
                answers = [i for i, (a, b, _) in enumerate(spans) if a <= start < b]
                if draw.random() < 0.25:  # the same without its answer
                    texts = [t for i, t in enumerate(texts) if i not in answers]
                    answers = []
                groups.append({"question": question["question"], "candidates": texts, "evidence": answers})
    return groups


def articles(path, draw):
    """Headings and titles that ask: what stands under them answers."""
    groups, documents = [], []
    for line in open(path):
        document = json.loads(line)
        sections, heading = [], ""
        for block in re.split(r"\n(?=#+ )", document["content"]):
            head, _, body = block.partition("\n") if block.startswith("#") else ("", "", block)
            heading = head.lstrip("# ").strip()
            sections.append((heading, sentences(body)))
        documents.append((document["title"], sections))
    for title, sections in documents:
        for heading, body in sections:
            if not body or not heading or len(heading.split()) < 2:
                continue
            question = heading if "?" in heading else draw.choice([heading.lower(), heading])
            if "?" not in heading and draw.random() < 0.6:
                continue
            other_title, other = draw.choice(documents)
            rest = [f"{title}\n{s}" for h, b in sections if h != heading for s in b]
            rest += [f"{other_title}\n{s}" for _, b in other for s in b]
            own = [f"{title}\n{s}" for s in body[:1]]
            if draw.random() < 0.25:
                own = []
            groups.append({"question": question, "candidates": own + rest, "evidence": list(range(len(own)))})
    return groups


def pick(group, size, draw):
    """Those that answer, at most two, and others: the likeliest, as far as it is known, and some of the rest."""
    answers = list(group["evidence"])
    draw.shuffle(answers)
    answers = answers[:2]
    rest = [i for i in range(len(group["candidates"])) if i not in group["evidence"]]
    if "probabilities" in group:
        rest.sort(key=lambda i: -group["probabilities"][i])
        near, far = rest[:10], rest[10:]
        draw.shuffle(near)
        draw.shuffle(far)
        want = size - len(answers)
        rest = near[: max(want - 1, 0)] + far[:1]
    else:
        draw.shuffle(rest)
    rest = rest[: size - len(answers)]
    return answers, rest


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("rows")
    arguments.add_argument("--found", required=True)
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--squad")
    arguments.add_argument("--articles")
    arguments.add_argument("--held-out", default="", help="businesses, by commas, that are not learned from")
    arguments.add_argument("--seconds", type=float, default=1800)
    arguments.add_argument("--rank", type=int, default=16)
    arguments.add_argument("--rate", type=float, default=1e-3)
    arguments.add_argument("--groups", type=int, default=8)
    arguments.add_argument("--size", type=int, default=7)
    arguments.add_argument("--output", required=True)
    arguments = arguments.parse_args()
    torch.manual_seed(1)
    draw = random.Random(1)
    held = {name.strip() for name in arguments.held_out.split(",") if name.strip()}
    known = {json.loads(line).get("business") for line in open(arguments.rows)}
    if not held or held - known:
        raise SystemExit(f"--held-out: {held - known or 'nothing'}; expected some of {sorted(filter(None, known))}")
    os.makedirs(arguments.output, exist_ok=True)
    train = rows(arguments.rows, held)
    test = [group for group in map(json.loads, open(arguments.found)) if group["business"] in held]
    draw.shuffle(test)
    test = test[:300]
    own = len(train)
    if arguments.squad:
        train += squad(arguments.squad, draw)
    if arguments.articles:
        train += articles(arguments.articles, draw)
    print(f"{own} questions of ours, {len(train) - own} others, {len(test)} held out", flush=True)
    # What is asked and the sentence stand last, after the question before and the headings.
    tokenizer = AutoTokenizer.from_pretrained(arguments.model, truncation_side="left")
    model = Reader(arguments.model, arguments.rank, 2 * arguments.rank)

    def encode(pairs):
        return tokenizer([q for q, _ in pairs], [t for _, t in pairs], truncation="longest_first", max_length=112,
                         padding=True, return_tensors="pt")

    trained = [p for p in model.parameters() if p.requires_grad]
    print(sum(p.numel() for p in trained), "weights", flush=True)
    optimizer = torch.optim.AdamW(trained, lr=arguments.rate, weight_decay=0.01)
    start, step, seen, mean = time.time(), 0, 0, 0.0

    def measure():
        model.eval()
        first = falsely = answered = refused = without = 0
        with torch.no_grad():
            for group in test:
                order = sorted(range(len(group["candidates"])), key=lambda i: -group["probabilities"][i])[:12]
                scores = model(encode([(group["question"], group["candidates"][i]) for i in order]))
                best = order[int(scores.argmax())]
                none = torch.logsumexp(scores, 0).item() < 0
                if group["evidence"]:
                    answered += 1
                    first += best in group["evidence"]
                    falsely += none
                else:
                    without += 1
                    refused += none
        model.train()
        print(f"  {time.time() - start:.0f} s: first {first / max(answered, 1):.3f}, falsely refused "
              f"{falsely / max(answered, 1):.3f} of {answered}; refused {refused / max(without, 1):.3f} of {without}",
              flush=True)

    def save():
        tensors = {"head.weight": model.head.weight.detach().half(), "head.bias": model.head.bias.detach().half()}
        for name, module in model.bert.named_modules():
            if isinstance(module, Lora):
                tensors[f"base_model.model.{name}.lora_A.weight"] = module.a.detach().half().contiguous()
                tensors[f"base_model.model.{name}.lora_B.weight"] = module.b.detach().half().contiguous()
        save_file(tensors, f"{arguments.output}/adapter_model.safetensors")
        config = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": arguments.rank, "lora_alpha": 2 * arguments.rank,
                  "target_modules": sorted(set(TARGETS)), "base_model_name_or_path":
                  "sentence-transformers/all-MiniLM-L6-v2", "bias": "none", "modules_to_save": ["head"]}
        json.dump(config, open(f"{arguments.output}/adapter_config.json", "w"), indent=2)

    model.train()
    next_measure = 300
    while (gone := time.time() - start) < arguments.seconds:
        draw.shuffle(train)
        for at in range(0, len(train), arguments.groups * 8):
            # Groups of like length together, so that little is padding.
            block = sorted(train[at:at + arguments.groups * 8], key=lambda g: len(max(g["candidates"] or [""], key=len)))
            batches = [block[i:i + arguments.groups] for i in range(0, len(block), arguments.groups)]
            draw.shuffle(batches)
            for batch in batches:
                gone = time.time() - start
                if gone >= arguments.seconds:
                    break
                share = gone / arguments.seconds
                rate = arguments.rate * min(1.0, step / 60) * max(0.02, 0.5 * (1 + math.cos(math.pi * share)))
                for g in optimizer.param_groups:
                    g["lr"] = rate
                picked = [(g, *pick(g, arguments.size, draw)) for g in batch]
                pairs = [(g["question"], g["candidates"][i]) for g, a, r in picked for i in a + r]
                if not pairs:
                    continue
                scores, loss, position = model(encode(pairs)), 0.0, 0
                for _, answers, rest in picked:
                    count = len(answers) + len(rest)
                    if not count:
                        continue
                    all_scores = torch.cat([scores[position:position + count], torch.zeros(1)])
                    right = all_scores[:len(answers)] if answers else all_scores[-1:]
                    loss = loss + torch.logsumexp(all_scores, 0) - torch.logsumexp(right, 0)
                    position += count
                loss = loss / len(picked)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                step, seen = step + 1, seen + len(picked)
                mean = loss.item() if step == 1 else 0.98 * mean + 0.02 * loss.item()
                if step % 25 == 0:
                    print(f"{gone:.0f} s, step {step}, {seen} questions, loss {mean:.3f}", flush=True)
                if gone > next_measure:
                    measure()
                    save()
                    next_measure += 300
    measure()
    save()


main()
