// Compiles every entry point of the shaders that `scall shaders --out DIR` writes with Dawn, the
// implementation of WebGPU in Chromium, on its backend without a device: all validation, nothing runs.
//
//     node compile.mjs DIR NODE_MODULES
//
// NODE_MODULES is the folder that `npm install webgpu` made. Exit code 1 after naming every pipeline that is refused,
// and 3 where the package cannot be loaded.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [folder, modules] = process.argv.slice(2);
const dawn = pathToFileURL(resolve(modules, 'webgpu', 'index.js'));
const { create, globals } = await import(dawn).catch((error) => {
  console.error(`${error}`);
  process.exit(3);
});
Object.assign(globalThis, globals);

// Held until the end: what it made goes when it does.
const gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
// No feature is asked for, and no limit raised.
const device = await adapter.requestDevice();
device.addEventListener('uncapturederror', (event) => {
  console.error(`uncaptured: ${event.error.message}`);
  process.exitCode = 1;
});

// The errors of what `make` does with the device.
async function errorsOf(make) {
  device.pushErrorScope('validation');
  const made = make();
  const error = await device.popErrorScope();
  return [made, error ? [error.message] : []];
}

async function compiled(shader, point, constants) {
  const code = readFileSync(join(folder, shader.file), 'utf8');
  const [module, wrong] = await errorsOf(() => device.createShaderModule({ code }));
  const messages = (await module.getCompilationInfo()).messages.filter((message) => message.type !== 'info');
  const errors = wrong.concat(messages.map((message) => `${message.lineNum}: ${message.message}`));
  const entries = point.bindings.map(({ binding, use }) => {
    return { binding, visibility: GPUShaderStage.COMPUTE, buffer: { type: use } };
  });
  const [, refused] = await errorsOf(() => {
    const layout = device.createPipelineLayout({ bindGroupLayouts: [device.createBindGroupLayout({ entries })] });
    return device.createComputePipeline({ layout, compute: { module, entryPoint: point.name, constants } });
  });
  return errors.concat(refused);
}

const { shaders } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
let pipelines = 0;
let refusals = 0;
for (const shader of shaders) {
  const settable = shader.constants.filter((constant) => !constant.derived);
  const defaults = Object.fromEntries(settable.map((constant) => [constant.name, constant.default]));
  for (const point of shader.entry_points) {
    // With the defaults as they are, and given as constants.
    for (const constants of settable.length > 0 ? [{}, defaults] : [{}]) {
      const errors = await compiled(shader, point, constants);
      pipelines += 1;
      if (errors.length > 0) {
        refusals += 1;
        console.error(`${shader.variant}/${point.name} with ${JSON.stringify(constants)}:\n  ${errors.join('\n  ')}`);
      }
    }
  }
}
console.log(`${pipelines} pipelines by Dawn, ${refusals} refused`);
// The device keeps the process alive.
process.exit(refusals > 0 || pipelines === 0 ? 1 : process.exitCode ?? 0);
