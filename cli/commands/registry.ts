/** Every command, in the order in which help lists them. */
import type { Command } from "../command.ts";
import { agent } from "./agent.ts";
import { analyze } from "./analyze.ts";
import { call } from "./call.ts";
import { cert } from "./cert.ts";
import { controlPlane } from "./control-plane.ts";
import { proxy } from "./proxy.ts";
import { proxyConfig } from "./proxy-config.ts";
import { proxyStatus } from "./proxy-status.ts";
import { run } from "./run.ts";
import { up } from "./up.ts";
import { validate } from "./validate.ts";
import { xds } from "./xds.ts";

export const commands: readonly Command[] = [
  up,
  run,
  call,
  validate,
  analyze,
  proxyStatus,
  proxyConfig,
  xds,
  cert,
  proxy,
  agent,
  controlPlane,
];
