/** The same request for a shell and for Python. */

/** @returns {string} a `curl` command; the key is taken from the environment, never written out */
export function curl(origin, path, body, withKey) {
  const lines = [`curl ${body.stream ? "-N " : ""}${quote(origin + path)}`, `  -H 'content-type: application/json'`];
  if (withKey) lines.push(`  -H "authorization: Bearer $HEARTH_KEY"`);
  lines.push(`  -d ${quote(JSON.stringify(body, null, 2))}`);
  return lines.join(" \\\n");
}

/** A word in single quotes, as a POSIX shell reads it. */
const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** Fields of our own that OpenAI's client passes on only in `extra_body`. */
const OURS = new Set(["top_k", "min_p"]);

/** @returns {string} the request with OpenAI's Python client */
export function python(origin, path, body, withKey) {
  const chat = path.includes("chat");
  const own = Object.entries(body).filter(([name]) => OURS.has(name));
  const fields = Object.entries(body).filter(([name]) => !OURS.has(name));
  if (!("model" in body)) fields.unshift(["model", "hearth"]);
  const lines = fields.map(([name, value]) => `    ${name}=${literal(value, 1)},`);
  if (own.length) lines.push(`    extra_body=${literal(Object.fromEntries(own), 1)},`);
  const print = chat ? ["chunk.choices[0].delta.content", "response.choices[0].message.content"] : ["chunk.choices[0].text", "response.choices[0].text"];
  const end = body.stream
    ? [`for chunk in response:`, `    if chunk.choices:`, `        print(${print[0]} or "", end="", flush=True)`]
    : [`print(${print[1]})`];
  return [
    ...(withKey ? ["import os", ""] : []),
    "from openai import OpenAI", "",
    `client = OpenAI(base_url="${origin}/v1", api_key=${withKey ? 'os.environ["HEARTH_KEY"]' : '"none"'})`,
    `response = client.${chat ? "chat.completions" : "completions"}.create(`, ...lines, ")", ...end,
  ].join("\n");
}

/** A JSON value as Python writes it. */
export function literal(value, depth = 0) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const pad = "    ".repeat(depth + 1);
  const items = Array.isArray(value) ? value.map((item) => literal(item, depth + 1)) : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item, depth + 1)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const line = open + items.join(", ") + close;
  return line.length < 80 ? line : `${open}\n${items.map((item) => `${pad}${item},\n`).join("")}${"    ".repeat(depth)}${close}`;
}
