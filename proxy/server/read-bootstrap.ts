/** The bootstrap that the command line names. */
import { readFileSync } from "node:fs";
import type { Parsed } from "#lib/problem.ts";
import { loadBootstrap } from "../bootstrap/bootstrap.ts";
import type { BootstrapModel } from "../bootstrap/model.ts";
import type { ProxyOptions } from "../options.ts";

/** The text of `--config-path`; no value without one. */
export function readBootstrapText({ configPath }: ProxyOptions): Parsed<string> {
  if (configPath === "") return { problems: [] };
  try {
    return { value: readFileSync(configPath, "utf8"), problems: [] };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === "ENOENT" ? "there is no such file" : code === "EACCES" ? "it can't be read" : String(error);
    return {
      problems: [{ code: "bootstrap-file", level: "error", path: "", message: `Invalid path: ${configPath}: ${why}` }],
    };
  }
}

/** The text and what the command line puts over it. */
export function parseBootstrapText(text: string | undefined, options: ProxyOptions): Parsed<BootstrapModel> {
  return loadBootstrap(text, {
    file: options.configPath === "" ? undefined : options.configPath,
    configYaml: options.configYaml === "" ? undefined : options.configYaml,
    serviceCluster: options.serviceCluster,
    serviceNode: options.serviceNode,
    serviceZone: options.serviceZone,
  });
}
