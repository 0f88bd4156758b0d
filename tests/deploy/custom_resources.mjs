// Validates custom resources with the compiled validators of @kubernetes-models.
//
//   node custom_resources.mjs NODE_MODULES < [documents as JSON] > [[{path, message}, ...], ...]
//
// Those validators let unknown fields pass. So the data is read through a proxy that notes every
// field the validator looks at; one that it never looked at is unknown to the schema.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const PACKAGES = {
  "gateway.networking.k8s.io": "gateway-api",
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
};

/** The class of a kind, or null where no package has it. */
async function classOf(modules, { apiVersion, kind }) {
  const [group, version] = String(apiVersion).split("/");
  const known = PACKAGES[group];
  if (!known || !version) return null;
  const file = join(modules, "@kubernetes-models", known, group, version, `${kind}.js`);
  if (!existsSync(file)) return null;
  return (await import(pathToFileURL(file)))[kind];
}

/** `value` behind proxies that add the path of each field that is read to `seen`. */
function watched(value, path, seen) {
  if (value === null || typeof value !== "object") return value;
  return new Proxy(value, {
    get(target, key) {
      if (typeof key === "symbol") return Reflect.get(target, key);
      seen.add(`${path}/${key}`);
      return watched(target[key], `${path}/${key}`, seen);
    },
  });
}

/** The fields of `value` that are not in `seen`; below an unknown one none is listed. */
function unseen(value, path, seen) {
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const at = `${path}/${key}`;
    if (!seen.has(at)) return [{ path: at, message: "unknown field" }];
    return unseen(inner, at, seen);
  });
}

async function faults(modules, document) {
  const Kind = await classOf(modules, document);
  if (Kind === null) return [{ path: "/kind", message: "no schema for this kind" }];
  const seen = new Set();
  const model = new Kind({});
  const { validate } = Object.getPrototypeOf(model);
  try {
    validate.call(watched(document, "", seen));
  } catch (error) {
    if (!error.errors) throw error;
    return error.errors.map((e) => ({ path: e.instancePath, message: e.message }));
  }
  return unseen(document, "", seen);
}

const documents = JSON.parse(readFileSync(0, "utf8"));
const report = [];
for (const document of documents) report.push(await faults(process.argv[2], document));
process.stdout.write(JSON.stringify(report));
