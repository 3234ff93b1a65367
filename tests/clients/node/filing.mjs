// The official Node client keeps its files with the gateway, told as JSON.
//
// node filing.mjs BASE_URL SECRETS: `openai` as customers have it; nothing is patched, nothing but the base URL is set.

import { createHash, randomBytes } from "node:crypto";
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import OpenAI, { toFile } from "openai";

const [baseURL, given] = process.argv.slice(2);
const secrets = JSON.parse(given);
const client = (secret) => new OpenAI({ baseURL: `${baseURL}/v1`, apiKey: secret, maxRetries: 0 });
const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function failure(act) {
  try {
    await act();
  } catch (error) {
    return [error.constructor.name, error.status, error.code];
  }
  return [];
}

async function story() {
  const openai = client(secrets.good);
  const folder = mkdtempSync(join(tmpdir(), "farebox-"));
  writeFileSync(join(folder, "wörter.jsonl"), '{"x": 1}\n');
  const batch = await openai.files.create({
    file: createReadStream(join(folder, "wörter.jsonl")), purpose: "batch",
    expires_after: { anchor: "created_at", seconds: 3600 },
  });
  rmSync(folder, { recursive: true });
  const large = Buffer.concat([Buffer.from("%PDF-"), randomBytes(20_000_000)]);
  const file = await openai.files.create({ file: await toFile(large, "large.pdf"), purpose: "user_data" });
  const pages = [];
  for await (const listed of openai.files.list({ limit: 1 })) pages.push(listed.id);
  const content = Buffer.from(await (await openai.files.content(file.id)).arrayBuffer());
  const deleted = await openai.files.delete(file.id);
  return {
    batch,
    stays: batch.expires_at - batch.created_at,
    content: await (await openai.files.content(batch.id)).text(),
    found: (await openai.files.retrieve(batch.id)).id === batch.id,
    large_is_whole: digest(content) === digest(large),
    newest_first: pages.indexOf(file.id) < pages.indexOf(batch.id),
    deleted: deleted.deleted,
    failures: {
      gone: await failure(() => openai.files.retrieve(file.id)),
      another_account: await failure(() => client(secrets.poor).files.retrieve(batch.id)),
      wrong_format: await failure(async () =>
        openai.files.create({ file: await toFile(Buffer.from("x"), "a.exe"), purpose: "assistants" })),
      too_large: await failure(async () =>
        client(secrets.low_tier).files.create({ file: await toFile(large, "a.pdf"), purpose: "user_data" })),
    },
  };
}

console.log(JSON.stringify(await story()));
