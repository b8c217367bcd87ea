mod crash;
mod flow;
mod guards;
mod world;
