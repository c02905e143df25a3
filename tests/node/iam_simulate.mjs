// Reads an array of simulations as JSON, prints an array of results as JSON:
// "Allowed", "ImplicitlyDenied", "ExplicitlyDenied", or "error: …".
import { anonymousPrincipal, runSimulation } from '@cloud-copilot/iam-simulate'
import { performance } from 'node:perf_hooks'

let text = ''
for await (const part of process.stdin) text += part
const { simulations, repeat = 0 } = JSON.parse(text)

async function decide(simulation) {
  if (simulation.request.principal === '*') simulation.request.principal = anonymousPrincipal
  try {
    const found = await runSimulation(simulation, {})
    return found.overallResult ?? `error: ${JSON.stringify(found.errors)}`
  } catch (error) {
    return `error: ${error.message}`
  }
}

const results = []
for (const simulation of simulations) results.push(await decide(simulation))
let seconds = 0
if (repeat) {
  const start = performance.now()
  for (let n = 0; n < repeat; n++) for (const simulation of simulations) await decide(simulation)
  seconds = (performance.now() - start) / 1000 / (repeat * simulations.length)
}
process.stdout.write(JSON.stringify({ results, seconds }))
